"""One driver process: its own epoll loop, many connections, no task and no tree per stanza."""
