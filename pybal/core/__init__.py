"""The pure core: the model of a pool, the policy that places servers, and what follows from the two."""
