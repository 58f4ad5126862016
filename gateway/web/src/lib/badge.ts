// How many things wait for the person, at the icon of the installed page.

export function showCount(count: number) {
  if (!('setAppBadge' in navigator)) return;
  // Refused where the page is not installed or may not: then there is no icon to write on.
  void (count > 0 ? navigator.setAppBadge(count) : navigator.clearAppBadge()).catch(() => {});
}
