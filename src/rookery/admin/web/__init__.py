"""The pages of /admin/: made by the server, for a browser without scripts. What they do is what the verbs do.

`site` takes a request through `login` (a sealed cookie, seals of forms) and finds the page; `pages/` are the pages by subject, `rendering`
makes HTML of them, `charts` draws lines.
"""
