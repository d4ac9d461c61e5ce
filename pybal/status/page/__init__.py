"""The status page: each view is a pure function from facts to pieces of HTML.

A view yields many small pieces, some empty, so that no slice holds the event loop; :mod:`pybal.status.routes` renders each path
once for all viewers. A new view

1. is a module ``NAME.py`` with a function ``(Facts) -> Iterator[str]`` (:mod:`~pybal.status.page.facts`);
2. begins with ``found = yield from collected(facts)``, because the icon of the header shows the worst of all alerts;
3. ends with ``yield from document(facts, Heading(title, mark, worst(found), path), sections)``, where ``sections`` yields markup
   made with :mod:`~pybal.status.page.elements`: ``verdict``, ``card``, ``item``, ``table``, ``row``, ``tools``, ``state``, ``foot``;
4. has an entry in ``VIEWS`` of :mod:`pybal.status.routes` and, for the navigation, in ``VIEWS`` of :mod:`~pybal.status.page.document`.

Severity is that of an alert. A table with the id ``list`` can be sorted and filtered; a row has an id, or a heading that is its
name, so that ``page.js`` can update it in place.
"""
