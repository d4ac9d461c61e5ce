"""The long-lived watchers of servers, and a table of their kinds."""
