// What Swagger UI draws and has no seam for: names of its selects, texts that scroll, and what comes when something is tried out.

const RESULT = ".loading-container, .live-responses-table";

/** Look after everything that is drawn below `root`, now and later. */
export function adapt(root) {
  name(root);
  new MutationObserver((changes) => {
    for (const node of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
      if (!(node instanceof Element)) continue;
      name(node);
      const result = node.matches(RESULT) ? node : node.querySelector(RESULT);
      if (result?.closest(".opblock")) show(result);
    }
  }).observe(root, { childList: true, subtree: true });
}

function name(root) {
  for (const field of root.querySelectorAll("select, textarea, .parameters input")) {
    if (!field.labels?.length && !field.ariaLabel) field.ariaLabel = nameOf(field);
  }
  // A long command or result scrolls: also by keyboard.
  for (const text of [root, ...root.querySelectorAll("pre")]) if (text.matches("pre")) text.tabIndex = 0;
}

function nameOf(field) {
  const parameter = field.closest("tr[data-param-name]");
  if (field.closest(".examples-select")) return parameter ? `Example of ${parameter.dataset.paramName}` : "Example";
  if (parameter) return parameter.dataset.paramName;
  return field.closest(".responses-wrapper") ? "Media type" : "Choice";
}

/** Somebody pressed Execute, far above, and waits. */
function show(result) {
  const { top, bottom } = result.getBoundingClientRect();
  if (top < 0 || Math.min(bottom, top + 200) > innerHeight) {
    result.scrollIntoView({ block: result.offsetHeight > innerHeight / 2 ? "start" : "center" });
  }
}
