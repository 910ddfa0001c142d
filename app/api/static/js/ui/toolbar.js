// One Tab stop for a row of controls, the arrow keys between them: the ARIA toolbar pattern.

// what: a selector of the controls. Gives a function to call when the controls are others.
export function toolbar(row, what) {
  const controls = () => [...row.querySelectorAll(what)].filter((one) => !one.hidden);
  const stopAt = (stop) => controls().forEach((one) => { one.tabIndex = one === stop ? 0 : -1; });
  row.addEventListener("focusin", ({ target }) => { if (target.matches(what)) stopAt(target); });
  row.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = controls();
    const at = all.indexOf(event.target);
    if (!step || at < 0) return;
    event.preventDefault();
    all[(at + step + all.length) % all.length].focus();
  });
  const settle = () => stopAt(controls()[0]);
  settle();
  return settle;
}
