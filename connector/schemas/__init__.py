"""The schemas as a contract: the rules for one schema, how it can change, and what was released."""
