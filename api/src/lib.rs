//! Configuration and metric queries over HTTP, and the built-in page.
