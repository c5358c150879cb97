// Makes a part of the page equal to a fresh rendering, touching only what differs.
//
// Elements with the same data-key stay the same element wherever they move, so that focus,
// selection and scroll positions survive. Elements with data-keep belong to a script: they stay.

export function patch(old, fresh) {
  const focused = document.activeElement;
  update(old, fresh);
  if (focused !== document.activeElement && focused?.isConnected && old.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) {
      old.data = fresh.data;
    }
  } else if (!("keep" in old.dataset)) {
    updateAttributes(old, fresh);
    updateChildren(old, fresh);
  }
}

function updateAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // What the reader has opened stays open.
    if (!fresh.hasAttribute(name) && name !== "open") {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
}

function updateChildren(old, fresh) {
  const keyed = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const found = keyOf(wanted) ? keyed.get(keyOf(wanted)) : alike(at, wanted) ? at : undefined;
    if (found === undefined) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (found === at) {
      at = at.nextSibling;
    } else {
      old.insertBefore(found, at);
    }
    update(found, wanted);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}

function alike(node, wanted) {
  return node !== null && node.nodeName === wanted.nodeName && !keyOf(node);
}
