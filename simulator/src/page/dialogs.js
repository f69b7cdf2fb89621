// The dialogs for a new person and a new group.

import { post } from "./api.js";
import { h } from "./dom.js";

/** Binds a dialog to its opener; `made` receives the simulator's response. */
function dialog(element, opener, { before, read, path, made }) {
  const form = element.querySelector("form");
  const problem = element.querySelector(".problem");
  opener.addEventListener("click", () => { form.reset(); problem.textContent = ""; before?.(); element.showModal(); });
  form.querySelector("[value=cancel]").addEventListener("click", () => element.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await post(path, read(new FormData(form)));
      element.close();
      made(answer);
    } catch (error) {
      problem.textContent = error.message;
    }
  });
}

export function newPerson(element, opener, made) {
  dialog(element, opener, {
    path: "people", made,
    read: (data) => ({
      name: data.get("name"), number: data.get("number") || undefined, username: data.get("username") || undefined,
      hidden: data.get("hidden") === "on",
    }),
  });
}

export function newGroup(element, opener, people, made) {
  const list = element.querySelector(".members");
  dialog(element, opener, {
    path: "groups", made,
    before: () => list.replaceChildren(...people().slice(0, 8).map(({ id, name }) => h("label", { className: "check" },
      h("input", { type: "checkbox", name: "members", value: id }), ` ${name}`))),
    read: (data) => ({
      subject: data.get("subject"), description: data.get("description"), approval_required: data.get("approval_required") === "on",
      members: data.getAll("members"),
    }),
  });
}
