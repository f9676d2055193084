// Going through the labels that look wrong: one after the other, by keys or buttons, to a file of corrections.

const review = { issues: [], at: -1, decided: new Map() };
const DROPPED = null;
const saved = `ftft corrections of ${page.title} ${page.data}`;

/** What a person has decided is kept by the browser where it may be, so that a closed page loses nothing. */
function remember() {
  try {
    localStorage.setItem(saved, JSON.stringify([...review.decided]));
  } catch {
    // A browser that keeps nothing for files: the export is all there is.
  }
}

async function prepareReview() {
  review.issues = await blockOfJson("issues");
  try {
    const listed = new Set(review.issues.map(({ row }) => row));
    const before = JSON.parse(localStorage.getItem(saved) ?? "[]");
    review.decided = new Map(before.filter(([row]) => listed.has(row)));
  } catch {
    // As above.
  }
  element("review-open").disabled = !review.issues.length;
  const names = page.choices.map((name, place) => make("option", { value: place }, name));
  element("another").append(...names);
  element("another").hidden = !page.choices.length;
  element("written-field").hidden = page.choices.length > 0;
}

const issue = () => review.issues[review.at];
const decision = () => review.decided.get(issue().row);

function showIssue(at) {
  review.at = Math.max(0, Math.min(at, review.issues.length - 1));
  keep(issue().row);
  tellReview();
}

function tellReview() {
  const { suggested, shown, probability, reason } = issue();
  const facts = [["given label", shown[0]], ["suggested", shown[1] || "none"]];
  if (probability !== null) facts.push(["probability that it is wrong", probability.toFixed(2)]);
  const terms = facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { dir: "auto" }, value)]);
  element("verdict").replaceChildren(make("dl", {}, ...terms), make("p", {}, reason));
  const made = decision();
  element("take").disabled = !suggested;
  element("another").value = "";
  element("written").value = made?.label ?? issue().given;
  element("note").value = made?.note ?? "";
  const chosen = made ? inWords(made.label, issue()) : "not judged";
  element("judged").textContent = `${count(review.at + 1)} of ${count(review.issues.length)}: ${chosen}`;
  const changed = changes();
  const dropped = changed.filter(([, { label }]) => label === DROPPED).length;
  element("progress").textContent =
    `${count(review.decided.size)} judged: ${count(changed.length - dropped)} relabelled, ${count(dropped)} dropped.`;
  element("corrections").disabled = !changed.length;
}

function inWords(label, { given, suggested, shown }) {
  if (label === DROPPED) return "dropped";
  if (label === given) return "kept";
  return `relabelled ${label === suggested ? shown[1] : label}`;
}

/** The issues whose label was changed, with what was decided, in the order of the list. */
const changes = () =>
  review.issues
    .map((one) => [one, review.decided.get(one.row)])
    .filter(([one, made]) => made && made.label !== one.given);

/** Decide on the issue that is shown, and go on to the next that is not judged. */
function decide(label) {
  review.decided.set(issue().row, { label, note: element("note").value });
  remember();
  const open = ({ row }) => !review.decided.has(row);
  const after = review.issues.findIndex((one, at) => at > review.at && open(one));
  const next = after < 0 ? review.issues.findIndex(open) : after;
  if (next < 0) tellReview();
  else showIssue(next);
}

async function exportCorrections() {
  const uids = await readUids();
  const lines = changes().map(([one, { label, note }]) => [uids[one.row], label ?? "", note, one.hash].map(quoted).join());
  download("corrections.csv", ["uid,label,note,text", ...lines, ""]);
}

function toggleReview(open) {
  element("review").hidden = !open;
  element("review-open").ariaExpanded = String(open);
  if (!open) return;
  const first = review.issues.findIndex(({ row }) => !review.decided.has(row));
  showIssue(Math.max(0, first));
  element("review").focus();
}

function followReview() {
  const actions = {
    k: () => decide(issue().given),
    s: () => issue().suggested && decide(issue().suggested),
    d: () => decide(DROPPED),
    b: () => showIssue(review.at - 1),
    n: () => showIssue(review.at + 1),
  };
  for (const [id, key] of Object.entries({ keep: "k", take: "s", drop: "d", back: "b", skip: "n" })) {
    element(id).addEventListener("click", actions[key]);
  }
  element("another").addEventListener("change", (event) => decide(page.choices[event.target.value]));
  element("written").addEventListener("keydown", ({ key, target }) => {
    if (key === "Enter" && target.value.trim()) decide(target.value.trim());
  });
  element("note").addEventListener("change", () => {
    if (!decision()) return;
    decision().note = element("note").value;
    remember();
  });
  element("corrections").addEventListener("click", exportCorrections);
  element("review-open").addEventListener("click", () => toggleReview(element("review").hidden));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select");
    if (element("review").hidden || typing || event.ctrlKey || event.altKey || event.metaKey) return;
    const number = Number(event.key) - 1;
    if (event.key in actions) actions[event.key]();
    else if (page.choices[number] !== undefined) decide(page.choices[number]);
  });
}
