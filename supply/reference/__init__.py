"""The generated pages of docs/reference: a module a page, made from the code, so that no page is behind it."""
