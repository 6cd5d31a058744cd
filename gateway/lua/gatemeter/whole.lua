-- Decodes a short answer that comes in one piece, which costs far less than scanning it.
-- The first piece is held; when the bytes end with it, read() gets it whole. When another piece
-- comes, or read() cannot use it, the scanner gets all of it instead. Pure; it must never hold more
-- than one piece, nor make the scanner see other bytes than there were.
local whole = {}
whole.__index = whole

local BYTES_MAX = 64 * 1024
local OPEN_OBJECT = 123

-- read(text) returns whether it was one object; at(time) sets the time at which the bytes came that
-- the scanner gets from then on, nil for now.
function whole.new(scanner, clock, read, at)
  return setmetatable({ scanner = scanner, clock = clock, read = read, at = at }, whole)
end

local function release(self)
  local held = self.held
  if held then
    self.held = nil
    self.at(self.held_at)
    self.scanner:feed(held)
    self.at(nil)
  end
end

function whole:feed(chunk)
  if not self.begun then
    self.begun = true
    if chunk:byte() == OPEN_OBJECT and #chunk <= BYTES_MAX then
      self.held, self.held_at = chunk, self.clock()
      return
    end
  end
  release(self)
  self.scanner:feed(chunk)
end

function whole:finish()
  if self.held and self.read(self.held) then
    self.held = nil
    return
  end
  release(self)
  self.scanner:finish()
end

return whole
