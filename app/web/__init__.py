"""What both HTTP processes share: the server, errors as problem documents, logs."""
