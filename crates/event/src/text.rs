//! What was sent to a model and received from it, for counting unreported tokens.
//!
//! `native` finds the parts in the body; `ingest` counts them and lets them go. A part is JSON as
//! the producer wrote it and is only ever borrowed: it must never be stored or shown.

use crate::usage::Usage;

/// One part of a text. The first six were sent, the others were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Messages of a chat.
    Messages,
    /// A prompt, or what was to be embedded.
    Input,
    /// System prompt: instructions that precede the messages.
    System,
    /// The same under its name in OpenAI's responses.
    Instructions,
    /// Tools that the model could call.
    Tools,
    /// What the answer had to look like.
    ResponseFormat,
    /// Text of the answer.
    Output,
    /// Reasoning before the answer.
    Reasoning,
    /// Calls of tools in the answer.
    ToolCalls,
}

/// How many parts there are.
pub const N_PARTS: usize = 9;

impl Part {
    /// All parts, in the order of their numbers.
    pub const EACH: [Part; N_PARTS] = [
        Part::Messages,
        Part::Input,
        Part::System,
        Part::Instructions,
        Part::Tools,
        Part::ResponseFormat,
        Part::Output,
        Part::Reasoning,
        Part::ToolCalls,
    ];

    /// Its path in an event.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Part::Messages => "text.messages",
            Part::Input => "text.input",
            Part::System => "text.system",
            Part::Instructions => "text.instructions",
            Part::Tools => "text.tools",
            Part::ResponseFormat => "text.response_format",
            Part::Output => "text.output",
            Part::Reasoning => "text.reasoning",
            Part::ToolCalls => "text.tool_calls",
        }
    }

    /// Whether it was sent to the model, rather than received.
    #[must_use]
    pub fn is_sent(self) -> bool {
        (self as usize) < (Part::Output as usize)
    }
}

/// The parts of one attempt, each as JSON, well formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    parts: [Option<&'a str>; N_PARTS],
}

impl<'a> Text<'a> {
    /// A part as JSON, if present.
    #[must_use]
    pub fn get(&self, part: Part) -> Option<&'a str> {
        self.parts[part as usize]
    }

    /// Sets a part.
    pub fn set(&mut self, part: Part, json: &'a str) {
        self.parts[part as usize] = Some(json);
    }

    /// The parts that are there.
    pub fn parts(self) -> impl Iterator<Item = (Part, &'a str)> {
        Part::EACH.into_iter().filter_map(move |part| self.get(part).map(|json| (part, json)))
    }

    /// The parts of the side that was not reported, of both if neither was; `None` if there are
    /// none.
    #[must_use]
    pub fn lacking(mut self, reported: &Usage) -> Option<Text<'a>> {
        for part in Part::EACH {
            let side = if part.is_sent() { reported.input } else { reported.output };
            if side.is_some() {
                self.parts[part as usize] = None;
            }
        }
        self.parts().next().is_some().then_some(self)
    }
}

#[cfg(test)]
mod tests;
