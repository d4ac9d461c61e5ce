"""The pure core: the model of a pool, the pooling policy and what both derive from the facts."""
