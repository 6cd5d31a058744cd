-- A queue of event lines in a store that outlives the worker that fills it (a shared dict).
-- push() appends, peek() shows the oldest, remove() forgets them once ingest has them. One worker
-- fills and empties a queue; when it has died, another one opens the queue by its name.
-- Pure; it must never forget a line before remove(): dying between any two steps may show a line
-- twice (ingest knows it by its id), never lose one.
local spool = {}
spool.__index = spool

-- Keys: h = index of the last line removed, t = of the last one pushed, e = a line.
-- `store` has get, safe_set (never evicts; false and an error when it is full) and delete.
function spool.open(store, name)
  local self = setmetatable({ store = store, name = name, head_key = "h:" .. name,
                              tail_key = "t:" .. name, line_key = "e:" .. name .. ":" }, spool)
  self.head = store:get(self.head_key)
  self.tail = store:get(self.tail_key)
  if self.head and self.tail then
    return self
  end
  self.head, self.tail = self.head or 0, self.tail or 0
  return self
end

-- Makes room for the two positions while there is some, so that later steps cannot fail.
function spool.create(store, name)
  local self = spool.open(store, name)
  for key, value in pairs({ [self.head_key] = self.head, [self.tail_key] = self.tail }) do
    local ok, err = store:safe_set(key, value)
    if not ok then
      return nil, err
    end
  end
  return self
end

function spool:push(line)
  local index = self.tail + 1
  -- The tail goes first: an index without a line is passed over, a line beyond the tail is lost.
  local ok, err = self.store:safe_set(self.tail_key, index)
  if ok then
    ok, err = self.store:safe_set(self.line_key .. ("%d"):format(index), line)
  end
  if not ok then
    return nil, err
  end
  self.tail = index
  return true
end

-- The oldest lines, at least one if there is any, and the index up to which they go.
function spool:peek(lines_max, bytes_max)
  local lines, bytes, index = {}, 0, self.head
  while index < self.tail and #lines < lines_max do
    local line = self.store:get(self.line_key .. ("%d"):format(index + 1))
    if line then
      bytes = bytes + #line + 1
      if bytes > bytes_max and #lines > 0 then
        break
      end
      lines[#lines + 1] = line
    end
    index = index + 1
  end
  return lines, index
end

function spool:remove(index)
  assert(index >= self.head and index <= self.tail, "removes lines that are not there")
  for i = self.head + 1, index do
    self.store:delete(self.line_key .. ("%d"):format(i))
  end
  self.head = index
  -- It was created with its size, so that setting it again takes no memory.
  self.store:safe_set(self.head_key, index)
end

function spool:len()
  return self.tail - self.head
end

-- Forgets an empty queue whose worker is gone.
function spool:close()
  assert(self.head == self.tail, "closes a queue that has lines")
  self.store:delete(self.head_key)
  self.store:delete(self.tail_key)
end

return spool
