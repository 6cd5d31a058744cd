//! The fields of one event as they were written, and the faults of the object that holds them.
//!
//! `Fields::read` takes an object of the body in one pass: known fields go into their places,
//! unknown ones are thrown away, prompt text is left where it is. Field given twice, too many
//! fields, too deep: the first such fault is kept, the rest of the object is still consumed, so
//! that the next event of the body can be read. It never judges a value; `check` does.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::names::{Names, ShortName};
use super::value::{Aside, NameSeed, Scalar, Skip};
use crate::limits::{FIELDS_MAX, JSON_DEPTH_MAX};
use crate::text::Text;

/// Why an event is not accepted, without its place in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// See `Reject::field`.
    pub field: &'static str,
    /// See `Reject::kind`.
    pub kind: &'static str,
    /// See `Reject::reason`.
    pub reason: Cow<'static, str>,
}

impl Fault {
    pub fn new(
        field: &'static str,
        kind: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) -> Fault {
        Fault { field, kind, reason: reason.into() }
    }
}

/// Makes the list of known fields; names inside `usage` are in the second group.
macro_rules! fields {
    ({ $($field:ident $name:literal,)+ } usage { $($inner:ident $inner_name:literal,)+ }) => {
        /// A field that is known.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field { $($field,)+ $($inner,)+ }

        /// How many fields are known.
        pub(super) const N_FIELDS: usize = [$(Field::$field,)+ $(Field::$inner,)+].len();

        impl Field {
            /// The path that users see.
            pub fn path(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)+
                    $(Field::$inner => concat!("usage.", $inner_name),)+
                }
            }

            fn of_event(name: &str) -> Option<Field> {
                match name { $($name => Some(Field::$field),)+ _ => None }
            }

            fn of_usage(name: &str) -> Option<Field> {
                match name { $($inner_name => Some(Field::$inner),)+ _ => None }
            }
        }

        static EVENT_NAMES: Names<Field> = Names::of(&[$(($name, Field::$field),)+]);
        static USAGE_NAMES: Names<Field> = Names::of(&[$(($inner_name, Field::$inner),)+]);
    };
}

fields! {
    {
        Kind "kind",
        Id "id",
        Time "time",
        Namespace "namespace",
        Upstream "upstream",
        Model "model",
        RequestedModel "requested_model",
        Method "method",
        Endpoint "endpoint",
        Status "status",
        DurationMs "duration_ms",
        TtftMs "ttft_ms",
        Stream "stream",
        Usage "usage",
        Text "text",
        RequestId "request_id",
        Attempt "attempt",
        Final "final",
        ErrorType "error_type",
        Consumer "consumer",
        ServiceTier "service_tier",
        Producer "producer",
        Epoch "epoch",
        Seq "seq",
        LimitedBy "limited_by",
        Gateway "gateway",
        Active "active",
    }
    usage {
        InputTokens "input_tokens",
        CacheReadTokens "cache_read_tokens",
        CacheWriteTokens "cache_write_tokens",
        OutputTokens "output_tokens",
        ReasoningTokens "reasoning_tokens",
    }
}

/// An object whose fields are known; its number is its level, the event being the first.
#[derive(Clone, Copy)]
pub(super) enum Level {
    /// The event itself.
    Event = 1,
    /// Its `usage`.
    Usage = 2,
}

/// The object `text` of an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prompt<'a> {
    /// As it was written.
    Written(&'a str),
    /// Its parts.
    Parts(Text<'a>),
}

/// What one object of the body held.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    values: [Scalar<'a>; N_FIELDS],
    /// One bit per known field; `null` counts as seen, so that it cannot hide a second value.
    seen: u64,
    prompt: Option<Prompt<'a>>,
    fault: Option<Fault>,
}

impl<'a> Fields<'a> {
    /// Reads a whole object and leaves its end behind.
    pub fn read<A: MapAccess<'a>>(object: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::default();
        fields.fill(Level::Event, object)?;
        Ok(fields)
    }

    /// Forgets an object, for the next one.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(|value| *value = Scalar::Absent);
        self.seen = 0;
        self.prompt = None;
        self.fault = None;
    }

    /// The first fault of the object itself, if it has any.
    pub fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// A value as it was written.
    pub fn get(&self, field: Field) -> &Scalar<'a> {
        &self.values[field as usize]
    }

    /// Takes a value out.
    pub fn take(&mut self, field: Field) -> Scalar<'a> {
        std::mem::take(&mut self.values[field as usize])
    }

    /// Whether the object `text` was given.
    pub fn has_prompt(&self) -> bool {
        self.prompt.is_some()
    }

    /// The object `text`, if it was given.
    pub fn prompt(&self) -> Option<Prompt<'a>> {
        self.prompt
    }

    /// Whether a field is given for the first time; from then on it has been given.
    #[inline(always)]
    pub fn is_first(&mut self, field: Field) -> bool {
        let bit = 1 << (field as u32);
        let is_first = self.seen & bit == 0;
        self.seen |= bit;
        is_first
    }

    /// Sets the value of a field.
    #[inline(always)]
    pub fn set(&mut self, field: Field, value: Scalar<'a>) {
        self.values[field as usize] = value;
    }

    /// Sets the object `text`.
    pub fn set_prompt(&mut self, prompt: Prompt<'a>) {
        self.prompt = Some(prompt);
    }

    fn fill<A: MapAccess<'a>>(&mut self, level: Level, mut object: A) -> Result<(), A::Error> {
        let mut n_fields = 0;
        let mut unknown: Vec<Cow<'a, str>> = Vec::new();
        while let Some(name) = object.next_key_seed(NameSeed)? {
            n_fields += 1;
            if n_fields > FIELDS_MAX {
                self.fail(level.path(), "fields", format!("has more than {FIELDS_MAX} fields"));
            }
            if let Some(field) = level.field(&name) {
                if self.is_first(field) {
                    self.values[field as usize] =
                        object.next_value_seed(ValueSeed { fields: self, field })?;
                    continue;
                }
                self.fail(field.path(), "duplicate_key", "must not be given twice");
            } else if unknown.contains(&name) {
                self.fail(level.path(), "duplicate_key", "has an unknown field twice");
            } else if n_fields <= FIELDS_MAX {
                unknown.push(name);
            }
            let (_, nesting) = object.next_value_seed(Skip)?;
            self.descend(level as usize + nesting);
        }
        Ok(())
    }

    /// Notes how deep the object goes.
    fn descend(&mut self, level: usize) {
        if level > JSON_DEPTH_MAX {
            self.fail("", "depth", format!("is nested deeper than {JSON_DEPTH_MAX} levels"));
        }
    }

    fn fail(
        &mut self,
        field: &'static str,
        kind: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.fault.get_or_insert_with(|| Fault::new(field, kind, reason));
    }
}

impl Level {
    /// The field of a name on this level, if it is known.
    pub fn field(self, name: &str) -> Option<Field> {
        match self {
            Level::Event => Field::of_event(name),
            Level::Usage => Field::of_usage(name),
        }
    }

    /// The same for a name that is short enough for a table.
    #[inline(always)]
    pub fn field_of(self, name: ShortName) -> Option<Field> {
        match self {
            Level::Event => EVENT_NAMES.get(name),
            Level::Usage => USAGE_NAMES.get(name),
        }
    }

    fn path(self) -> &'static str {
        match self {
            Level::Event => "",
            Level::Usage => Field::Usage.path(),
        }
    }
}

/// Reads the value of one known field; the fields of `usage` go into places of their own.
struct ValueSeed<'f, 'a> {
    fields: &'f mut Fields<'a>,
    field: Field,
}

impl<'a> DeserializeSeed<'a> for ValueSeed<'_, 'a> {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, source: D) -> Result<Scalar<'a>, D::Error> {
        if self.field != Field::Text {
            return source.deserialize_any(self);
        }
        // Prompt text is the one large value; it is passed over without looking inside strings.
        let (text, shape, nesting) = Aside.deserialize(source)?;
        self.fields.descend(Level::Event as usize + nesting);
        if shape == Scalar::Object {
            self.fields.set_prompt(Prompt::Written(text));
        }
        Ok(shape)
    }
}

impl<'a> Visitor<'a> for ValueSeed<'_, 'a> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Natural(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'a>, E> {
        Ok(u64::try_from(number).map_or(Scalar::Negative, Scalar::Natural))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Scalar<'a>, A::Error> {
        while let Some((_, nesting)) = array.next_element_seed(Skip)? {
            self.fields.descend(Level::Usage as usize + nesting);
        }
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<Scalar<'a>, A::Error> {
        if self.field == Field::Usage {
            self.fields.fill(Level::Usage, object)?;
            return Ok(Scalar::Object);
        }
        while object.next_key::<IgnoredAny>()?.is_some() {
            let (_, nesting) = object.next_value_seed(Skip)?;
            self.fields.descend(Level::Usage as usize + nesting);
        }
        Ok(Scalar::Object)
    }
}
