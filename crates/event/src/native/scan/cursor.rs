//! A place in a text of JSON, and how to get past what stands there.
//!
//! Every step either passes over what it is named for or gives up with `None`, after which the
//! cursor is of no use. Texts and numbers are taken eight bytes at a time. It never allocates and
//! never goes back, but for a number with many digits.

use crate::native::names::ShortName;

/// Whether blanks between two signs may have a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum Breaks {
    /// They may: the value can be printed over several lines.
    Anywhere,
    /// They may not: the value must end in the line in which it begins.
    Nowhere,
}

/// A number that is not negative.
pub(in crate::native) enum Number {
    /// Without point and exponent.
    Natural(u64),
    /// With a point or an exponent.
    Float(f64),
}

/// A place in a text.
pub(in crate::native) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    breaks: Breaks,
}

/// Eight bytes of 1, and of the highest bit of a byte.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Most bytes of a number with a point whose digits are surely below 2^53.
const EXACT_DIGITS_MAX: usize = 16;
/// Powers of ten.
const TENS: [u64; 16] = {
    let mut tens = [1; 16];
    let mut n = 1;
    while n < tens.len() {
        tens[n] = tens[n - 1] * 10;
        n += 1;
    }
    tens
};

impl<'a> Cursor<'a> {
    /// A cursor at the beginning of a text.
    pub fn new(text: &'a str, breaks: Breaks) -> Cursor<'a> {
        Cursor { text, at: 0, breaks }
    }

    /// The offset in the text.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The byte at the cursor; `None` at the end.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over one certain byte.
    pub fn sign(&mut self, sign: u8) -> Option<()> {
        (self.peek()? == sign).then(|| self.at += 1)
    }

    /// Steps over blanks; returns what comes after them.
    #[inline(always)]
    pub fn blanks(&mut self) -> Option<u8> {
        let mut byte = self.peek()?;
        // None or one space is what encoders write.
        if byte == b' ' {
            self.at += 1;
            byte = self.peek()?;
        }
        if byte > b' ' { Some(byte) } else { self.more_blanks() }
    }

    #[inline(never)]
    fn more_blanks(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' if self.breaks == Breaks::Anywhere => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// What stands from the cursor on.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Goes back to an offset.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Steps over so many bytes.
    pub fn pass(&mut self, n_bytes: usize) {
        self.at += n_bytes;
    }

    /// What stands between an offset and the cursor.
    #[inline(always)]
    pub fn since(&self, begin: usize) -> Option<&'a str> {
        self.text.get(begin..self.at)
    }

    /// Steps into an object or array; returns whether it has any entry, and steps out of it again
    /// if not.
    pub fn open(&mut self, open: u8, close: u8) -> Option<bool> {
        self.sign(open)?;
        if self.blanks()? != close {
            return Some(true);
        }
        self.at += 1;
        Some(false)
    }

    /// Steps to the next entry or element behind one; returns whether there is one, and steps
    /// out if not.
    #[inline(always)]
    pub fn more(&mut self, close: u8) -> Option<bool> {
        let sign = self.blanks()?;
        self.at += 1;
        if sign == b',' {
            self.blanks()?;
            return Some(true);
        }
        (sign == close).then_some(false)
    }

    /// Steps over the name of an entry, to its value. Names with escapes are not taken.
    pub fn name(&mut self) -> Option<&'a str> {
        let name = self.plain_text()?;
        self.colon()?;
        Some(name)
    }

    /// Steps over what is between a name and its value; returns the first byte of the value.
    #[inline(always)]
    pub fn colon(&mut self) -> Option<u8> {
        self.blanks()?;
        self.sign(b':')?;
        self.blanks()
    }

    /// What stands between the byte behind the cursor and the next quote, if that is short and the
    /// end of the body not near. It need not be a name; but what is no name, or has escapes, is not
    /// a known one.
    #[inline(always)]
    pub fn short_name(&self) -> Option<ShortName> {
        let window = self.text.as_bytes().get(self.at + 1..)?.first_chunk::<16>()?;
        let (low, high) = window.split_at(8);
        let low = u64::from_le_bytes(*low.first_chunk()?);
        let high = u64::from_le_bytes(*high.first_chunk()?);
        let marks = [signs(low, b'"'), signs(high, b'"')];
        if marks == [0; 2] {
            return None;
        }
        let in_low = marks[0] != 0;
        let high = if in_low { 0 } else { high & below(marks[1]) };
        let n = if in_low { marks[0].trailing_zeros() } else { 64 + marks[1].trailing_zeros() };
        Some(ShortName { words: [low & below(marks[0]), high], len: n as usize / 8 })
    }

    /// Steps over a text without escapes.
    #[inline(always)]
    pub fn plain_text(&mut self) -> Option<&'a str> {
        self.sign(b'"')?;
        let begin = self.at;
        self.pass_plain();
        let text = self.since(begin)?;
        self.sign(b'"')?;
        Some(text)
    }

    /// Steps over a number that is not negative.
    #[inline(always)]
    pub fn number(&mut self) -> Option<Number> {
        // Most have less than eight digits, and something behind them.
        if let Some(eight) = self.eight()
            && let n @ 1..8 = n_digits(eight)
            && (n == 1 || eight & 0xff != u64::from(b'0'))
            && !matches!((eight >> (8 * n)) as u8, b'.' | b'e' | b'E')
        {
            self.at += n;
            return Some(Number::Natural(value_of(eight, n)));
        }
        self.any_number()
    }

    /// Steps over a number that is not negative, of any kind.
    fn any_number(&mut self) -> Option<Number> {
        let begin = self.at;
        let whole = self.digits(0)?;
        if self.has_zero_ahead(begin) {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            let point = self.at;
            if let Some(digits) = self.digits(whole)
                && self.at - begin <= EXACT_DIGITS_MAX
                && !matches!(self.peek(), Some(b'e' | b'E'))
            {
                return Some(Number::Float(shifted(digits, self.at - point)));
            }
            self.at = point - 1;
        } else if !matches!(self.peek(), Some(b'e' | b'E')) {
            return Some(Number::Natural(whole));
        }
        self.pass_fraction()?;
        let number: f64 = self.since(begin)?.parse().ok()?;
        number.is_finite().then_some(Number::Float(number))
    }

    /// Steps over one digit or more, which are the next ones of a number; returns the number, or
    /// `None` if it is beyond 64 bits or no digit is there.
    fn digits(&mut self, mut number: u64) -> Option<u64> {
        let begin = self.at;
        while let Some(eight) = self.eight() {
            let n = n_digits(eight);
            number = number.checked_mul(TENS[n])?.checked_add(value_of(eight, n))?;
            self.at += n;
            if n < 8 {
                return (self.at > begin).then_some(number);
            }
        }
        // The last few bytes of the text.
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        (self.at > begin).then_some(number)
    }

    /// Steps over a literal and returns what it stands for.
    #[inline(always)]
    pub fn literal<T>(&mut self, literal: &str, value: T) -> Option<T> {
        if !self.text.as_bytes().get(self.at..)?.starts_with(literal.as_bytes()) {
            return None;
        }
        self.at += literal.len();
        Some(value)
    }

    /// Steps over any value that has at most `levels` objects and arrays inside one another. Texts
    /// in it may have half a surrogate pair, numbers may be of any size.
    pub fn pass_over(&mut self, levels: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.pass_text(),
            b'{' => {
                let inner = levels.checked_sub(1)?;
                let mut more = self.open(b'{', b'}')?;
                while more {
                    self.pass_text()?;
                    self.colon()?;
                    self.pass_over(inner)?;
                    more = self.more(b'}')?;
                }
                Some(())
            }
            b'[' => {
                let inner = levels.checked_sub(1)?;
                let mut more = self.open(b'[', b']')?;
                while more {
                    self.pass_over(inner)?;
                    more = self.more(b']')?;
                }
                Some(())
            }
            b't' => self.literal("true", ()),
            b'f' => self.literal("false", ()),
            b'n' => self.literal("null", ()),
            _ => self.pass_number(),
        }
    }

    /// Steps over a text.
    fn pass_text(&mut self) -> Option<()> {
        self.sign(b'"')?;
        loop {
            self.pass_plain();
            let sign = self.peek()?;
            self.at += 1;
            match sign {
                b'"' => return Some(()),
                b'\\' => self.pass_escape()?,
                _ => return None,
            }
        }
    }

    /// Steps over what follows the backslash of an escape.
    fn pass_escape(&mut self) -> Option<()> {
        let sign = self.peek()?;
        self.at += 1;
        match sign {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Steps over a number of any size.
    fn pass_number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let begin = self.at;
        self.pass_digits()?;
        if self.has_zero_ahead(begin) {
            return None;
        }
        self.pass_fraction()
    }

    /// Whether the digits between a place and the cursor have a zero too many before them.
    fn has_zero_ahead(&self, begin: usize) -> bool {
        self.at - begin > 1 && self.text.as_bytes().get(begin) == Some(&b'0')
    }

    /// Steps over the fraction and the exponent of a number, if it has them.
    fn pass_fraction(&mut self) -> Option<()> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.pass_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.pass_digits()?;
        }
        Some(())
    }

    /// Steps over one digit or more.
    fn pass_digits(&mut self) -> Option<()> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    /// Steps to the next byte that means something in a text: a quote, a backslash, or a control
    /// character, which no text may have; or to the end.
    #[inline(always)]
    fn pass_plain(&mut self) {
        while let Some(eight) = self.eight() {
            let found = text_signs(eight);
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        let is_plain = |byte: u8| !matches!(byte, b'"' | b'\\' | ..b' ');
        while self.peek().is_some_and(is_plain) {
            self.at += 1;
        }
    }

    /// The next eight bytes, the first one lowest, if there are so many.
    #[inline(always)]
    fn eight(&self) -> Option<u64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.first_chunk().map(|eight| u64::from_le_bytes(*eight))
    }
}

/// A mark at the lowest byte that is a certain sign, and none below it. From `x - 1 & !x`, which
/// has the highest bit of a byte that was zero, and above it also others where the subtraction
/// borrowed (Mycroft 1987).
#[inline(always)]
fn signs(eight: u64, sign: u8) -> u64 {
    let x = eight ^ (ONES * u64::from(sign));
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// The bytes below the lowest mark; all of them if there is none.
#[inline(always)]
fn below(marks: u64) -> u64 {
    ((marks & marks.wrapping_neg()) >> 7).wrapping_sub(1)
}

/// A mark at the lowest byte that is a quote, a backslash or a control character, and none below
/// it.
#[inline(always)]
fn text_signs(eight: u64) -> u64 {
    let controls = eight.wrapping_sub(ONES * u64::from(b' ')) & !eight & HIGHS;
    signs(eight, b'"') | signs(eight, b'\\') | controls
}

/// How many of eight bytes are digits before the first that is none.
#[inline(always)]
fn n_digits(eight: u64) -> usize {
    // With `0` taken off, a digit is 0 to 9: its highest bit is clear, and stays so if 118 is
    // added. A borrow or a carry spoils only bytes above one that is no digit.
    let values = eight.wrapping_sub(ONES * u64::from(b'0'));
    let others = (values | values.wrapping_add(ONES * 118)) & HIGHS;
    others.trailing_zeros() as usize / 8
}

/// The number that the first `n` of eight bytes are, which are digits.
#[inline(always)]
fn value_of(eight: u64, n: usize) -> u64 {
    if n == 0 {
        return 0;
    }
    // Zeros before the digits, so that they are eight: then in pairs, fours and all.
    let digits = (eight & (ONES * 0x0f)) << (64 - 8 * n);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    low.wrapping_add(high) >> 32
}

/// Whole number and fraction, taken as one number, with the point before the last `n` digits.
/// Below 2^53 and 10^23 both sides are exact, so that one division rounds as it should.
#[expect(
    clippy::float_arithmetic,
    reason = "a number of JSON becomes a float here, as it is there"
)]
fn shifted(digits: u64, n: usize) -> f64 {
    digits as f64 / TENS[n] as f64
}
