-- Delivers events from the log phase to ingest: one queue per worker in shared memory, a timer that
-- flushes it, and disk at shutdown. emit() gives an event its id and seq and queues it; start() and
-- exit() belong to init_worker and exit_worker. A queue whose worker is gone is drained by another
-- one. It must never hold up a request, and never lose an event without counting it.
local active = require("gatemeter.active")
local cjson = require("cjson.safe")
local delivery = require("gatemeter.delivery")
local event = require("gatemeter.event")
local http = require("gatemeter.http")
local metrics = require("gatemeter.metrics")
local registry = require("gatemeter.registry")
local resolver = require("gatemeter.resolver")
local spill = require("gatemeter.spill")
local spool = require("gatemeter.spool")
local system = require("gatemeter.system")

local emitter = {}

local LEVELS = { error = ngx.ERR, warn = ngx.WARN, notice = ngx.NOTICE }
-- Batches per run of a timer: its memory is freed only when it ends.
local BATCHES_PER_RUN = 40
local ADOPTION_S = 60
local RECOVER_LINES = 1000
local LOOK_EVERY_MS = 60000
-- Looking at all slots of the registry takes as long as some requests: mostly it goes as far as
-- there were workers, and as many further as a reload starts.
local ALL_SLOTS_EVERY = 10
-- Some events more may come while a spilled file is read; they should find room.
local RECOVER_FREE_SHARE = 0.25

local memory, state = ngx.shared.gatemeter_spool, ngx.shared.gatemeter_state
local settings, me, slot, queue, sender, gauge
local seq, drops_unsaid = 0, 0
local adopted = {}
local recovery
local next_look_ms = 0
local n_looks, last_slot = 0, 0
local flushing, keeping, ending = false, false, false
local last_said, last_kept, last_gauge_ms = {}, 0, 0
local gauge_reported = {}

function emitter.count(name, label, n)
  if n ~= 0 then
    state:incr(metrics.key(name, label), n, 0)
  end
end
local count = emitter.count

-- At most one message of a level each second; the counters have the rest.
local function log(level, message)
  local now = ngx.now()
  if now - (last_said[level] or 0) >= 1 then
    last_said[level] = now
    ngx.log(LEVELS[level], "gatemeter: ", message)
  end
end

local function connect()
  local target = settings.target
  local sock = ngx.socket.tcp()
  sock:settimeouts(math.min(2000, settings["ingest.timeout_ms"]), settings["ingest.timeout_ms"],
                   settings["ingest.timeout_ms"])
  local address, why = resolver.pick("ingest")
  if not address then
    return nil, target.host .. ": " .. why
  end
  -- The pool is that of the address, so that none of an older address is used again.
  local ok, err = sock:connect(address, target.port)
  if not ok then
    resolver.failed("ingest", address)
    return nil, "connect: " .. tostring(err)
  end
  local n_uses = sock:getreusedtimes()
  if target.scheme == "https" and n_uses == 0 then
    ok, err = sock:sslhandshake(nil, target.host, true)
    if not ok then
      sock:close()
      return nil, "TLS: " .. tostring(err)
    end
  end
  return sock, n_uses
end

local function post(body)
  local answer, err
  for _ = 1, 2 do
    local sock, n_uses = connect()
    if not sock then
      return nil, n_uses
    end
    answer, err = http.exchange(sock, settings.target, "/v1/events", settings.headers, body)
    if answer then
      if answer.reusable and not ending then
        sock:setkeepalive(30000, 4)
      else
        sock:close()
      end
      if answer.status == 200 then
        state:set("last_success_timestamp_seconds", ngx.time())
      end
      return answer
    end
    sock:close()
    if n_uses == 0 then
      break
    end
    -- Ingest had closed a pooled connection: a new one shows whether it is up.
  end
  return nil, err
end

-- Flushes queues until they are empty or ingest asks to back off. One run at a time.
local function flush()
  if flushing then
    return
  end
  flushing = true
  local ok, err = pcall(function()
    local n_batches = 0
    local function empty(one)
      while n_batches < BATCHES_PER_RUN and sender:may_send() and one:len() > 0 do
        n_batches = n_batches + 1
        if sender:deliver(one) ~= "progress" then
          return
        end
      end
    end
    empty(queue)
    for _, other in pairs(adopted) do
      local before = other.queue:len()
      empty(other.queue)
      count("events_adopted_total", nil, before - other.queue:len())
    end
  end)
  flushing = false
  if not ok then
    log("error", "flush failed: " .. tostring(err))
  end
end

local function flush_soon(premature)
  if not premature then
    flush()
  end
end

-- Makes the event of an attempt. `facts` becomes its fields; text may be left out to save it.
function emitter.emit(facts)
  seq = seq + 1
  facts.id = ("%s-%d"):format(me.name, seq)
  facts.producer, facts.seq = me.producer, seq
  count("events_total", nil, 1)
  local ok, err = queue:push(event.encode(facts))
  if not ok and facts.text_json then
    facts.text_json = nil
    ok, err = queue:push(event.encode(facts))
    count("events_without_text_total", nil, ok and 1 or 0)
  end
  if not ok then
    count("events_dropped_total", "spool_full", 1)
    drops_unsaid = drops_unsaid + 1
    return nil, err
  end
  if queue:len() >= settings["batch.events_max"] and not flushing and sender:may_send() then
    ngx.timer.at(0, flush_soon)
  end
  return true
end

local function adopt(gone)
  for name, other in pairs(adopted) do
    if other.queue:len() == 0 then
      other.queue:close()
      state:delete("c:" .. name)
      registry.free(memory, other.slot, name)
      adopted[name] = nil
    else
      memory:safe_set("a:" .. name, 1, ADOPTION_S)
    end
  end
  for _, entry in ipairs(gone) do
    -- The mark only saves work: two that send the same queue send the same ids.
    if not adopted[entry.name] and memory:safe_add("a:" .. entry.name, 1, ADOPTION_S) then
      adopted[entry.name] = { queue = spool.open(memory, entry.name), slot = entry.slot }
    end
  end
end

local function recover_lines()
  for _ = 1, RECOVER_LINES do
    if memory:free_space() < memory:capacity() * RECOVER_FREE_SHARE then
      return
    end
    local line, why = spill.next_line(recovery)
    if line then
      local ok = queue:push(line)
      count("events_recovered_total", nil, ok and 1 or 0)
      count("events_dropped_total", "spool_full", ok and 0 or 1)
    elseif why == "damaged" then
      count("events_dropped_total", "spill_damaged", 1)
      log("error", "a line of " .. recovery.path .. " is damaged and was dropped")
    else
      spill.close(recovery)
      recovery.until_index = queue.tail
      return
    end
  end
end

-- Reads what a stop has left on disk, a part at a time; a file goes when its lines are delivered.
-- Looking for files costs three calls a slot, while requests wait, and there is one only after a
-- start: it is done again after a minute, should an earlier nginx have ended late.
local function recover(now_ms)
  if not recovery then
    if now_ms < next_look_ms then
      return
    end
    for n = 1, registry.SLOTS do
      recovery = spill.open(settings.spill_folder, n)
      if recovery then
        return recover_lines()
      end
    end
    next_look_ms = now_ms + LOOK_EVERY_MS
  elseif not recovery.until_index then
    recover_lines()
  elseif queue.head >= recovery.until_index then
    spill.remove(recovery)
    recovery = nil
  end
end

local function texts_of(entries)
  local texts = { gauge:write(system.monotonic_ms()) }
  for _, entry in ipairs(entries) do
    texts[#texts + 1] = state:get("c:" .. entry.name)
  end
  return texts
end

local function report_connections(others)
  local counts = active.sum(texts_of(others))
  local lines, time = {}, system.epoch_us()
  for name in pairs(gauge_reported) do
    counts[name] = counts[name] or 0
  end
  gauge_reported = {}
  for name, n in pairs(counts) do
    lines[#lines + 1] = event.connections(name, settings.gateway, n, time)
    gauge_reported[name] = n > 0 or nil
    if #lines == 1000 then
      break
    end
  end
  -- A gauge that is lost is replaced by the next one, so it is sent once.
  if #lines > 0 then
    post(table.concat(lines, "\n") .. "\n")
  end
end

local function look_at_others()
  local slots = n_looks % ALL_SLOTS_EVERY ~= 0 and last_slot + ngx.worker.count() or nil
  n_looks = n_looks + 1
  local live, gone, draining = registry.sort(memory, me, system.alive, slots)
  last_slot = slot
  for _, list in ipairs({ live, gone, draining }) do
    for _, entry in ipairs(list) do
      last_slot = math.max(last_slot, entry.slot)
    end
  end
  return live, gone, draining
end

local function leads(live)
  for _, entry in ipairs(live) do
    if entry.slot < slot then
      return false
    end
  end
  return true
end

local function keep_house()
  local now = system.monotonic_ms()
  if keeping or now - last_kept < 1000 then
    return
  end
  keeping, last_kept = true, now
  local ok, err = pcall(function()
    if drops_unsaid > 0 then
      log("error", ("the spool is full: %d events dropped"):format(drops_unsaid))
      drops_unsaid = 0
    end
    state:set("c:" .. me.name, gauge:write(now))
    local live, gone, draining = look_at_others()
    adopt(gone)
    if leads(live) then
      recover(now)
      if now - last_gauge_ms >= settings["connections.interval_s"] * 1000 then
        last_gauge_ms = now
        for _, entry in ipairs(draining) do
          live[#live + 1] = entry
        end
        report_connections(live)
      end
    end
  end)
  keeping = false
  if not ok then
    log("error", "housekeeping failed: " .. tostring(err))
  end
end

local drain

-- One part of the end of a worker; its memory is freed when it returns, and it goes on in another.
local function drain_part(deadline)
  for _ = 1, 100 do
    flush()
    state:set("c:" .. me.name, gauge:write(system.monotonic_ms()))
    if gauge.total == 0 and not flushing then
      deadline = deadline or system.monotonic_ms() + settings["drain.timeout_ms"]
      local live = registry.sort(memory, me, system.alive)
      -- After a reload the new workers take over; at a stop there is disk.
      if queue:len() == 0 or #live > 0 or system.monotonic_ms() > deadline then
        return
      end
    end
    ngx.sleep(0.05)
  end
  ngx.timer.at(0, drain, deadline)
end

drain = function(_, deadline)
  local ok, err = pcall(drain_part, deadline)
  if not ok then
    log("error", "drain failed: " .. tostring(err))
  end
end

local function tick(premature)
  if not premature then
    flush()
    return keep_house()
  end
  if not ending then
    ending = true
    registry.mark(memory, slot, me, "draining")
    drain(false, nil)
  end
end

function emitter.enter(name, now_ms)
  return gauge:enter(name, now_ms)
end

function emitter.leave(name, now_ms)
  gauge:leave(name, now_ms)
end

-- Called in init_worker; an error stops the worker from starting, with the reason in the log.
function emitter.start(given)
  settings = given
  local name = assert(system.random_hex(16))
  local pid = system.pid()
  me = { name = name, pid = pid, start = assert(system.started(pid), "/proc is needed") }
  me.producer = ("%s.%d.%s"):format(settings.gateway, ngx.worker.id(), name)
  math.randomseed(tonumber(name:sub(1, 8), 16))
  queue = assert(spool.create(memory, name))
  slot = assert(registry.join(memory, me))
  -- The counters are as old: both outlive a reload, and neither a restart.
  state:safe_add("start_time_seconds", ngx.time())
  gauge = active.new(2 * settings["connections.interval_s"] * 1000)
  sender = delivery.new(settings, {
    post = post, decode = cjson.decode, count = count, log = log,
    now_ms = system.monotonic_ms, random = math.random,
  })
  local ok, err = spill.check(settings.spill_folder)
  if not ok then
    log("error", "events cannot be kept over a stop: " .. err)
  end
  assert(ngx.timer.every(settings["batch.interval_ms"] / 1000, tick))
end

-- Lines of several queues, one after the other, for the disk.
local function lines_of(queues)
  local lines, at, index = {}, 0, nil
  local n = 1
  return function()
    at = at + 1
    while not lines[at] do
      if not queues[n] then
        return nil
      end
      if index then
        queues[n].head = index
      end
      if queues[n]:len() == 0 then
        n, index = n + 1, nil
      else
        lines, index = queues[n]:peek(500, 8 * 1024 * 1024)
        at = 1
      end
    end
    return lines[at]
  end
end

-- Called in exit_worker, where nothing can be sent: the last worker writes what is left to disk.
function emitter.exit()
  if not slot then
    return
  end
  registry.mark(memory, slot, me, "gone")
  local live, gone, draining = registry.sort(memory, me, system.alive)
  if #live + #draining > 0 then
    return
  end
  local queues = { queue }
  for _, entry in ipairs(gone) do
    queues[#queues + 1] = spool.open(memory, entry.name)
  end
  local n_left = 0
  for _, one in ipairs(queues) do
    n_left = n_left + one:len()
  end
  if n_left == 0 then
    return
  end
  local n_lines, err = spill.write(settings.spill_folder, slot, lines_of(queues))
  if not n_lines then
    count("events_dropped_total", "spill_failed", n_left)
    ngx.log(ngx.ERR, "gatemeter: ", n_left, " events are lost, for they cannot be written: ", err)
    return
  end
  count("events_spilled_total", nil, n_lines)
  ngx.log(ngx.NOTICE, "gatemeter: ", n_lines, " events written to disk for the next start")
end

local function gauges(name)
  local live, gone, draining = registry.sort(memory, me, system.alive)
  if name == "workers" then
    return 1 + #live + #draining
  elseif name == "spool_events" then
    local n = queue:len()
    for _, list in ipairs({ live, gone, draining }) do
      for _, entry in ipairs(list) do
        n = n + spool.open(memory, entry.name):len()
      end
    end
    return n
  end
  for _, entry in ipairs(draining) do
    live[#live + 1] = entry
  end
  local _, total = active.sum(texts_of(live))
  return total
end

-- The value of a series of the page.
function emitter.read(key)
  if key == "workers" or key == "spool_events" or key == "active_requests" then
    return gauges(key)
  elseif key == "spool_capacity_bytes" then
    return memory:capacity()
  elseif key == "spool_used_bytes" then
    return memory:capacity() - memory:free_space()
  end
  return state:get(key)
end

return emitter
