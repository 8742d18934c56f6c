// ---- link: what is on the page talks about slice and window, without asking the server ---------------------
// Viewers, the slice strip and tables are functions of their own that gradio evaluates one by one; they meet
// here, as events of the document. Who shows another case does not listen.

const LINK = "livdemo-link";

// tell({k, window, at}) to all others that show the case of key(); hear(message) what they tell; answer() what
// is told to one who has just come and asks.
function createLink({ key, hear, answer = () => null }) {
  const me = {};
  const onEvent = ({ detail }) => {
    if (detail.from === me || detail.key !== key()) return;
    if (detail.ask) {
      const told = answer();
      if (told) tell(told);
    } else hear(detail);
  };
  function tell(message) {
    if (key() !== null) document.dispatchEvent(new CustomEvent(LINK, { detail: { ...message, from: me, key: key() } }));
  }
  document.addEventListener(LINK, onEvent);
  return { tell, ask: () => tell({ ask: true }), close: () => document.removeEventListener(LINK, onEvent) };
}
