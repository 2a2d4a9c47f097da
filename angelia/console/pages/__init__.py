"""One module a page: `PAGE` and its routes; a module that is here is in the navigation."""
