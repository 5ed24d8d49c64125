"""The web page and API, served by a process of its own; `edge.page.host.Page` is the daemon's side of it."""
