-- Registry of workers, so that the queue of a dead one is found and drained by another. join()
-- takes a slot, mark() marks a worker as ending, entries() lists all; whether a process still runs
-- is asked of system.lua. Pure over the store of the spool. It must never free the slot of a worker
-- that runs, and never forget one that is gone before its queue is empty.
local registry = {}

-- Workers at once, old ones that finish long streams after a reload included.
registry.SLOTS = 256

local function key(slot)
  return "w:" .. slot
end

local function write(me, state)
  return ("%s %d %s %s"):format(me.name, me.pid, me.start, state)
end

local function read(slot, text)
  local name, pid, start, state = text:match("^(%S+) (%d+) (%S+) (%S+)$")
  return { slot = slot, name = name, pid = tonumber(pid), start = start, state = state }
end

-- `me` = { name, pid, start }; returns the slot.
function registry.join(store, me)
  for slot = 1, registry.SLOTS do
    local ok, err = store:safe_add(key(slot), write(me, "live"))
    if ok then
      return slot
    end
    if err ~= "exists" then
      return nil, err
    end
  end
  return nil, "all " .. registry.SLOTS .. " slots for workers are taken"
end

-- `state`: live, draining (ends, but still empties its own queue) or gone.
function registry.mark(store, slot, me, state)
  return store:safe_set(key(slot), write(me, state))
end

-- `slots`: how many are looked at, all if nil.
function registry.entries(store, slots)
  local entries = {}
  for slot = 1, math.min(slots or registry.SLOTS, registry.SLOTS) do
    local text = store:get(key(slot))
    if text then
      entries[#entries + 1] = read(slot, text)
    end
  end
  return entries
end

-- Divides all but `me` into those that run, those whose queue is to be taken over, and those that
-- are about to end.
function registry.sort(store, me, alive, slots)
  local live, gone, draining = {}, {}, {}
  for _, entry in ipairs(registry.entries(store, slots)) do
    if entry.name ~= me.name then
      local list = gone
      if entry.state ~= "gone" and alive(entry.pid, entry.start) then
        list = entry.state == "live" and live or draining
      end
      list[#list + 1] = entry
    end
  end
  return live, gone, draining
end

function registry.free(store, slot, name)
  local text = store:get(key(slot))
  if text and read(slot, text).name == name then
    store:delete(key(slot))
  end
end

return registry
