/** Light, dark, or as the system is. The choice stays in this browser. */

import { byId, setText } from "./elements.js";

const STORED = "tie.theme";
const THEMES = ["system", "light", "dark"];

export function startTheme() {
  const button = byId("theme");
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    setText(button, `Theme: ${theme}`);
  };
  const stored = localStorage.getItem(STORED);
  show(THEMES.includes(stored) ? stored : THEMES[0]);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    localStorage.setItem(STORED, next);
    show(next);
  });
}
