// The page "Import pages": does not send a file that is too large, since the server would only refuse it.

const field = document.querySelector("input[type=file][data-max-bytes]");
const max = Number(field?.dataset.maxBytes);

function tooLarge() {
  return field.files.length > 0 && field.files[0].size > max;
}

function say() {
  const row = field.closest(".form-row");
  row.querySelector("ul.errorlist")?.remove();
  row.classList.toggle("errors", tooLarge());
  field.toggleAttribute("aria-invalid", tooLarge());
  if (!tooLarge()) return;
  const text = document.createElement("li");
  text.textContent = `This file is larger than ${max / 1024} KiB: import it in parts.`;
  const shown = document.createElement("ul");
  shown.className = "errorlist";
  shown.setAttribute("role", "alert");
  shown.append(text);
  row.prepend(shown);
}

field?.addEventListener("change", say);
field?.form.addEventListener("submit", (event) => {
  if (!tooLarge()) return;
  event.preventDefault();
  say();
  field.focus();
});
