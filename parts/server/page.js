// What Streamlit's page lacks: links that keep the session, one step of history for one step of the
// reader, the place on the page after Back, and a button that copies the address.
(() => {
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const main = () => document.querySelector("[data-testid=stMain]");
  const idle = () => document.querySelector("[data-test-script-state=notRunning]");
  // Whether the reader has done something since the last entry. Streamlit writes an address several
  // times on the way to a view, and all but the first belong to the same step.
  let acted = false, restoring = 0;
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { acted = true; restoring = 0; }, true);
  addEventListener("wheel", () => { restoring = 0; }, { capture: true, passive: true });

  // Places by address, for links that lead back to where the reader has been.
  const places = new Map();
  const sorted = (url) => {
    const parts = new URL(url);
    parts.searchParams.sort();
    return parts.pathname + parts.search;
  };
  const remember = () => {
    if (!main()) return;
    replace({ ...history.state, scroll: main().scrollTop }, "");
    places.delete(sorted(location.href));
    places.set(sorted(location.href), { href: location.href, scroll: main().scrollTop });
    if (places.size > 100) places.delete(places.keys().next().value);
  };
  // Where a link back leads: to the last visited address that has what the link names. Of the choices
  // that are the page's own it may have any; the version is the link's, as a verdict makes a new one.
  const earlier = (link) => {
    const wanted = new URL(link.href), own = (link.dataset.own ?? "").split(" ");
    const named = (href) => {
      const url = new URL(href);
      for (const key of own) if (!wanted.searchParams.has(key)) url.searchParams.delete(key);
      url.searchParams.delete("at");
      return sorted(url);
    };
    const found = [...places.values()].reverse().find(({ href }) => named(href) === named(wanted));
    if (!found) return { url: wanted, scroll: 0 };
    const url = new URL(found.href);
    if (wanted.searchParams.has("at")) url.searchParams.set("at", wanted.searchParams.get("at"));
    return { url, scroll: found.scroll };
  };
  history.pushState = (state, title, url) => {
    if (acted) {
      acted = false;
      remember();
      push(state, title, url);
    } else replace({ ...history.state, ...state }, title, url);
  };
  history.replaceState = (state, title, url) => replace({ ...history.state, ...state }, title, url);

  // The place of an entry is noted while the reader scrolls: when Back arrives it is too late.
  let waiting;
  addEventListener("scroll", (event) => {
    if (restoring || event.target !== main() || !idle()) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (!restoring && idle()) remember(); }, 150);
  }, true);

  // The page grows for a while after Back: scroll until it is as long as it was, and charts are in.
  const restore = (top) => {
    // The top is there at once, and whatever scrolls from there on is meant.
    if (!top) {
      restoring = 0;
      if (main()) main().scrollTop = 0;
      return;
    }
    const mine = restoring = Date.now() + Math.random();
    let calm = 0, began = Date.now();
    const step = () => {
      if (restoring !== mine) return;
      const page = main(), there = page && Math.abs(page.scrollTop - top) < 2;
      calm = there && idle() && Date.now() - began > 400 ? calm + 1 : 0;
      if (page && !there) page.scrollTop = top;
      if (calm < 12 && Date.now() - began < 15000) setTimeout(step, 100);
      else restoring = 0;
    };
    step();
  };
  addEventListener("popstate", (event) => {
    clearTimeout(waiting);
    acted = false;
    restore(event.state?.scroll ?? 0);
  });
  if (history.state?.scroll) restore(history.state.scroll);

  // A click on a link within the dashboard goes on in the same session; with a modifier or the
  // middle button the browser opens the address, which is whole, in a new tab.
  // The link of a row of turns speaks for the whole row.
  const linkOf = (event) => {
    const at = event.target;
    const own = at.closest?.("[data-testid=stHtml] a[href]");
    return own ?? at.closest?.("tr.openable")?.querySelector("a[href]");
  };
  const aside = (event) => event.button === 1 || event.metaKey || event.ctrlKey || event.shiftKey;
  document.addEventListener("auxclick", (event) => {
    const link = event.button === 1 && linkOf(event);
    if (link && !link.contains(event.target)) window.open(link.href, "_blank", "noopener");
  });
  document.addEventListener("click", (event) => {
    const link = linkOf(event);
    if (!link || event.defaultPrevented || event.button || link.target === "_blank") return;
    const on = link.contains(event.target);
    if (event.altKey || (aside(event) && on)) return;
    if (aside(event)) return void window.open(link.href, "_blank", "noopener");
    // Whoever selects a text of the row does not want to leave.
    if (!on && String(getSelection())) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    if (url.href === location.href) return;
    acted = true;
    const way = link.matches(".back") ? earlier(link) : { url, scroll: 0 };
    history.pushState({}, "", way.url);
    dispatchEvent(new PopStateEvent("popstate", { state: { scroll: way.scroll } }));
  });
  document.addEventListener("keydown", (event) => {
    const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const row = way && event.target.closest?.("tr.openable");
    const next = row && row[way]?.querySelector("a[href]");
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });

  // The annotator's name, which a page asks to keep or, with an age of 0, to forget.
  let kept = "";
  new MutationObserver(() => {
    const { cookie, value, age } = document.querySelector("span.kept-name[data-cookie]")?.dataset ?? {};
    const text = `${cookie}=${value}; path=/; max-age=${age}; SameSite=Strict`;
    if (cookie === undefined || text === kept || !/^[\w.~%-]*$/.test(value)) return;
    kept = text;
    document.cookie = text;
  }).observe(document, { childList: true, subtree: true, attributeFilter: ["data-value"] });

  const copy = async (text) => {
    // Without HTTPS, browsers offer the clipboard only on the machine itself.
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("The browser did not allow it.");
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button.copy-link");
    if (!button) return;
    const label = button.textContent;
    try {
      await copy(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy the address bar";
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
})();
