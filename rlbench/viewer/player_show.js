var k=+this.value;
this.previousElementSibling.style.backgroundPosition=
  (-(k%$columns)*$width)+'px '+(-Math.floor(k/$columns)*$height)+'px'
