//! Takes events in over HTTP and answers when they are durable.
