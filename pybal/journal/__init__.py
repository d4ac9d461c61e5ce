"""The journal: a record of everything the decision core sees, and its replay."""
