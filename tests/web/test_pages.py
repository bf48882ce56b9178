"""What every page has: it is looked at in three sizes and two schemes, and anybody can use it."""


def test_the_first_page_lists_the_runs_and_anybody_can_use_it(page, server, look, axe):
    page.goto(server)
    assert page.get_by_role("row").count() == 7
    look(page, "runs")
    axe(page)


def test_a_page_that_does_not_exist_says_so_in_one_line(client):
    answer = client.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "Not Found" in answer.text
