/** For what opens because somebody asked for it: the focus goes there. As an attachment: `{@attach focused}`. */
export function focused(element: HTMLElement) {
  element.focus();
}
