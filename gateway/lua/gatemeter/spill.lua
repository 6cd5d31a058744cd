-- Keeps event lines in files over a stop of nginx, when shared memory goes away.
-- write() appends lines to the file of a slot; the next start moves it aside, reads it line by line
-- and deletes it once its lines are delivered. Pure but for files. It must never delete a file
-- whose lines are not safe elsewhere; reading one twice is harmless, for ids are in the lines.
local spill = {}

local function path(folder, slot, ending)
  return ("%s/spill-%d.%s"):format(folder, slot, ending)
end

-- Appends all lines that next_line() gives; returns how many.
function spill.write(folder, slot, next_line)
  local file, err = io.open(path(folder, slot, "ndjson"), "ab")
  if not file then
    return nil, err
  end
  file:setvbuf("full", 65536)
  local n_lines, ok = 0, true
  for line in next_line do
    ok, err = file:write(line, "\n")
    if not ok then
      break
    end
    n_lines = n_lines + 1
  end
  local closed, close_err = file:close()
  if not (ok and closed) then
    return nil, err or close_err
  end
  return n_lines
end

-- Whether the folder can be written to, found out before it is needed.
function spill.check(folder)
  local name = folder .. "/writable.tmp"
  local file, err = io.open(name, "ab")
  if not file then
    return nil, err
  end
  file:close()
  os.remove(name)
  return true
end

-- Opens the oldest file of a slot for reading; nil if there is none.
function spill.open(folder, slot)
  local reading = path(folder, slot, "reading")
  local file = io.open(reading, "rb")
  if not file and os.rename(path(folder, slot, "ndjson"), reading) then
    file = io.open(reading, "rb")
  end
  if not file then
    return nil
  end
  return { file = file, path = reading }
end

-- The next line: text; or nil and "end"; or nil and "damaged" for one that was cut off.
function spill.next_line(source)
  local line = source.file:read("*l")
  if not line then
    return nil, "end"
  end
  if line:find("^{.*}$") then
    return line
  end
  return nil, "damaged"
end

function spill.close(source)
  source.file:close()
end

function spill.remove(source)
  os.remove(source.path)
end

return spill
