-- Decodes a short answer that comes in one piece, which costs far less than scanning it.
-- The first piece is held; when the bytes end with it, read() gets it whole. When another piece
-- comes, or read() cannot use it, the scanner gets all of it instead. Pure; it must never hold more
-- than one piece, nor make the scanner see other bytes than there were.
local whole = {}
whole.__index = whole

whole.BYTES_MAX = 64 * 1024
local OPEN_OBJECT = 123

-- new_scanner() is asked if there is need of one; read(text) returns whether it was one object;
-- at(time) sets the time at which the bytes came that the scanner gets from then on, nil for now.
function whole.new(new_scanner, clock, read, at)
  return setmetatable({ new_scanner = new_scanner, clock = clock, read = read, at = at }, whole)
end

local function scan(self, chunk)
  self.scanner = self.scanner or self.new_scanner()
  self.scanner:feed(chunk)
end

local function release(self)
  local held = self.held
  if held then
    self.held = nil
    self.at(self.held_at)
    scan(self, held)
    self.at(nil)
  end
end

function whole:feed(chunk)
  if not self.begun then
    self.begun = true
    if chunk:byte() == OPEN_OBJECT and #chunk <= whole.BYTES_MAX then
      self.held, self.held_at = chunk, self.clock()
      return
    end
  end
  release(self)
  scan(self, chunk)
end

function whole:finish()
  if self.held and self.read(self.held) then
    self.held = nil
    return
  end
  release(self)
  if self.scanner then
    self.scanner:finish()
  end
end

return whole
