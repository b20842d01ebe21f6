"""What `connector dev` starts besides the bridge: a broker and a registry in memory."""
