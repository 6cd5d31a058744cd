//! What one LLM request is: types, limits, native JSON and the frame form. Pure.
