var b=this,s=b.previousElementSibling;
function stop(){
  clearInterval(b.timer);b.timer=0;b.textContent='play'
}
if(b.timer){stop();return}
if(+s.value>=+s.max)s.value=0;
b.textContent='pause';
b.timer=setInterval(function(){
  if(+s.value>=+s.max||!b.isConnected){stop();return}
  s.value=+s.value+1;s.oninput()
},$pause)
