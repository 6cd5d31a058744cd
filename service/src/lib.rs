//! What every process needs: configuration, logs, process metrics, server, shutdown, keys.
