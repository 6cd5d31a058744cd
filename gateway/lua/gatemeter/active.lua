-- Counts the requests that a worker is proxying, by namespace, for the gauge of connections.
-- enter() and leave() per request; write() gives a text for the other workers to read, sum() adds
-- up the texts of all that run, so that the share of a dead worker vanishes with it.
-- Pure; it must never grow with the names that clients invent, nor let a count leak.
local active = {}
active.__index = active

-- As many namespaces as ingest registers; requests of further ones are proxied and counted as
-- usual, only their gauge is left out.
active.NAMESPACES_MAX = 1000

-- A namespace is reported for `linger_ms` after its last request, so that its 0 is reported as
-- well.
function active.new(linger_ms)
  return setmetatable({ linger_ms = linger_ms, counts = {}, used = {}, size = 0, total = 0 },
                      active)
end

-- Returns the argument for leave(); nil if the namespace is not reported.
function active:enter(name, now_ms)
  self.total = self.total + 1
  local count = self.counts[name]
  if not count then
    if self.size >= active.NAMESPACES_MAX then
      return nil
    end
    count = 0
    self.size = self.size + 1
  end
  self.counts[name], self.used[name] = count + 1, now_ms
  return name
end

function active:leave(name, now_ms)
  self.total = self.total - 1
  assert(self.total >= 0, "more requests ended than began")
  if name then
    self.counts[name], self.used[name] = self.counts[name] - 1, now_ms
  end
end

function active:write(now_ms)
  local lines = {}
  for name, count in pairs(self.counts) do
    if count == 0 and now_ms - self.used[name] > self.linger_ms then
      self.counts[name], self.used[name], self.size = nil, nil, self.size - 1
    else
      lines[#lines + 1] = ("%s %d"):format(name, count)
    end
  end
  return table.concat(lines, "\n")
end

-- Counts by namespace, and all together, over the texts of several workers.
function active.sum(texts)
  local counts, total = {}, 0
  for _, text in ipairs(texts) do
    for name, count in text:gmatch("(%S+) (%d+)") do
      counts[name] = (counts[name] or 0) + tonumber(count)
      total = total + tonumber(count)
    end
  end
  return counts, total
end

return active
