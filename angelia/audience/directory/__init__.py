"""Groups of a directory (LDAP, Active Directory) as audience lists.

Enter at `groups.py`. Reads a server, or a file that `ldapsearch` wrote; writes nothing: `audience.lists`
makes the list of the ids.
"""
