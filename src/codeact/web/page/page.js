// What a page does by itself: keys, files that are dropped or pasted, heights of frames, earlier turns, a draft that stays

document.documentElement.lang = 'en';
document.addEventListener('keydown', (e) => {
  const key = e.key.toLowerCase();
  if ((e.ctrlKey || e.metaKey) && key === 'k') { e.preventDefault(); document.querySelector('.search input')?.focus(); }
  if (e.ctrlKey && e.altKey && key === 'n') { e.preventDefault(); document.querySelector('.new-chat')?.click(); }
  if (key === 'escape' && !document.querySelector('.q-dialog')) document.querySelector('[aria-label="Stop"]')?.click();
});
window.addEventListener('message', (e) => {
  const height = Number(e.data && e.data.codeactHeight);
  if (!height) return;
  for (const frame of document.querySelectorAll('.framed iframe'))
    if (frame.contentWindow === e.source) frame.style.height = Math.min(height + 4, 1200) + 'px';
});
window.addEventListener('scroll', () => {
  const earlier = document.querySelector('.earlier');
  if (window.scrollY > 60 || !earlier?.offsetParent || earlier.dataset.asked) return;
  earlier.dataset.asked = 1;
  setTimeout(() => delete earlier.dataset.asked, 1000);
  window.belowEarlier = document.body.scrollHeight - window.scrollY;
  earlier.click();
}, {passive: true});
document.addEventListener('paste', (e) => {
  const files = [...(e.clipboardData?.files || [])];
  if (files.length) { e.preventDefault(); uploadAll(files); }
});
document.addEventListener('dragover', (e) => e.preventDefault());
document.addEventListener('drop', (e) => { e.preventDefault(); uploadAll([...e.dataTransfer.files]); });
function uploadAll(files) {
  const element = document.querySelector('.q-uploader');
  if (!element || !files.length) return;
  const id = element.id.replace('c', '');
  window.getElement(Number(id))?.$refs?.qRef?.addFiles?.(files);
}

// Browsers give the clipboard to pages of https and of this machine alone; the old way works everywhere
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement('textarea'), {value: text});
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

// Events of a page that is not connected yet come later, in any order: what is in the box goes along then, after them
function whenConnected(box, emit) {
  if (window.did_handshake && !box.dataset.waits) { emit(); return; }
  if (box.dataset.waits) return;
  box.dataset.waits = 1;
  const send = () => {
    delete box.dataset.waits;
    emit(box.value);
    box.value = '';
    box.dispatchEvent(new Event('input', {bubbles: true}));
  };
  const waiting = setInterval(() => {
    if (!window.did_handshake) return;
    clearInterval(waiting);
    setTimeout(send, 100);
  }, 50);
}

const box = () => document.querySelector('textarea[aria-label="Message"]');
const draft = 'draft ' + location.pathname;
window.addEventListener('pagehide', () => { if (box()) sessionStorage.setItem(draft, box().value); });
let looks = 0;
const waiting = setInterval(() => {
  if (++looks > 100) clearInterval(waiting);
  if (!box() || !window.did_handshake) return;
  clearInterval(waiting);
  const kept = sessionStorage.getItem(draft);
  if (!kept || box().value) return;
  box().value = kept;
  box().dispatchEvent(new Event('input', {bubbles: true}));
}, 100);
