/* Plain tabular Q-learning in C, the reference for the compiled trainer in benchmarks/training.py.
 * It scans the row for the greedy action and the best value, as textbook code does; its generator is xoshiro256++. */
#include <math.h>
#include <stdint.h>

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static double uniform(uint64_t s[4]) {
    uint64_t word = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = rotl(s[3], 45);
    return (word >> 11) * 0x1p-53;
}

static int argmax(const double *row, int n) {
    int best = 0;
    double value = row[0];
    for (int a = 1; a < n; a++) if (row[a] > value) value = row[a], best = a;
    return best;
}

static double max(const double *row, int n) {
    double best = row[0];
    for (int a = 1; a < n; a++) if (row[a] > best) best = row[a];
    return best;
}

static void update(double *q, int n, long s, int a, double r, long s_next, int terminated, double alpha, double gamma) {
    double best = terminated ? 0.0 : max(q + s_next * n, n);
    q[s * n + a] += alpha * (r + gamma * best - q[s * n + a]);
}

/* SafeCab: a deterministic table, epsilon = final + (initial - final) exp(-decay * episode). Returns the steps taken. */
long train_table(double *q, const int32_t *successor, const double *reward, const uint8_t *terminated,
                 const int64_t *starts, long n_starts, uint64_t *seed, long n_episodes, long limit, double alpha,
                 double gamma, double initial, double final, double decay) {
    enum { N = 6 };
    uint64_t g[4] = {seed[0], seed[1], seed[2], seed[3]};
    double epsilon = initial;
    long steps = 0, episodes = 0, length = 0, s = starts[(long)(uniform(g) * n_starts)];
    for (; episodes < n_episodes; steps++) {
        double u = uniform(g);
        int a = u < epsilon ? (int)(u / epsilon * N) : argmax(q + s * N, N);
        long k = s * N + a, s_next = successor[k];
        update(q, N, s, a, reward[k], s_next, terminated[k], alpha, gamma);
        if (terminated[k] || ++length == limit) {
            episodes++;
            length = 0;
            epsilon = final + (initial - final) * exp(-decay * episodes);
            s = starts[(long)(uniform(g) * n_starts)];
        } else s = s_next;
    }
    return steps;
}

/* CartPole in uniform bins, alpha and epsilon linear in the steps. */
static long bin(const double *x, const double *low, const double *scale, const int64_t *counts) {
    long index = 0;
    for (int i = 0; i < 4; i++) {
        double place = ((double)(float)x[i] - low[i]) * scale[i];
        long inner = place >= counts[i] ? counts[i] - 1 : (long)place;
        index = index * counts[i] + (place > 0 ? inner : 0);
    }
    return index;
}

long train_cartpole(double *q, const double *low, const double *scale, const int64_t *counts, uint64_t *seed,
                    long steps, long limit, double alpha0, double alpha1, double alpha_steps, double gamma,
                    double epsilon0, double epsilon1, double epsilon_steps) {
    enum { N = 2 };
    uint64_t g[4] = {seed[0], seed[1], seed[2], seed[3]};
    double x[4];
    long episodes = 0, length = 0;
    for (int i = 0; i < 4; i++) x[i] = -0.05 + 0.1 * uniform(g);
    for (long i = 0; i < steps; i++) {
        long s = bin(x, low, scale, counts);
        double epsilon = epsilon0 + (epsilon1 - epsilon0) * fmin(1.0, i / epsilon_steps);
        double alpha = alpha0 + (alpha1 - alpha0) * fmin(1.0, i / alpha_steps);
        double u = uniform(g);
        int a = u < epsilon ? (int)(u / epsilon * N) : argmax(q + s * N, N);
        double c = cos(x[2]), sn = sin(x[2]), force = a ? 10.0 : -10.0;
        double temp = (force + 0.05 * x[3] * x[3] * sn) / 1.1;
        double theta_acc = (9.8 * sn - c * temp) / (0.5 * (4.0 / 3.0 - 0.1 * c * c / 1.1));
        double x_acc = temp - 0.05 * theta_acc * c / 1.1;
        x[0] += 0.02 * x[1]; x[1] += 0.02 * x_acc; x[2] += 0.02 * x[3]; x[3] += 0.02 * theta_acc;
        int fell = x[0] < -2.4 || x[0] > 2.4 || x[2] < -0.20943951023931953 || x[2] > 0.20943951023931953;
        update(q, N, s, a, 1.0, bin(x, low, scale, counts), fell, alpha, gamma);
        if (fell || ++length == limit) {
            episodes++;
            length = 0;
            for (int j = 0; j < 4; j++) x[j] = -0.05 + 0.1 * uniform(g);
        }
    }
    return episodes;
}
