/** Milliseconds after which it is time, whatever else there is to do. */
const AT_LAST = 500;

/** When the page has nothing better to do. Safari cannot say: there it is soon. */
export function idle(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof requestIdleCallback === 'undefined') setTimeout(resolve, 1);
    else requestIdleCallback(() => resolve(), { timeout: AT_LAST });
  });
}
