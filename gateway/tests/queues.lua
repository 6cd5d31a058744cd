-- Tests of the spool, the registry of workers, the gauge and the files of a stop.
-- It must never pass when a line is lost, wherever a worker dies.
local active = require("gatemeter.active")
local check = require("check")
local registry = require("gatemeter.registry")
local spill = require("gatemeter.spill")
local spool = require("gatemeter.spool")

local tests = {}

function tests.lines_come_out_as_they_went_in_and_only_once_removed()
  local queue = spool.create(check.store(), "a")
  for i = 1, 5 do
    assert(queue:push("line" .. i))
  end
  local lines, index = queue:peek(2, 1000)
  check.equal(lines, { "line1", "line2" })
  check.equal(queue:peek(2, 1000), lines)
  queue:remove(index)
  check.equal(queue:peek(9, 12), { "line3", "line4" })
  check.equal(queue:peek(9, 1), { "line3" }, "at least one line")
  check.equal(queue:len(), 3)
end

function tests.a_full_spool_refuses_new_lines_and_keeps_old_ones()
  local queue = spool.create(check.store(100), "a")
  local n_taken = 0
  while queue:push(("x"):rep(20)) do
    n_taken = n_taken + 1
  end
  assert(n_taken > 0 and n_taken < 5)
  check.equal(queue:len(), n_taken)
  local lines, index = queue:peek(100, 1000)
  check.equal(#lines, n_taken)
  queue:remove(index)
  check.equal(queue:push(("x"):rep(20)), true, "room again")
end

-- A worker that pushes, sends and removes; `sent` and `made` are what the world has seen.
local function work(store, sent, made)
  local queue = spool.create(store, "a")
  for i = 1, 6 do
    local line = "line" .. i
    queue:push(line)
    made[#made + 1] = line
    if i % 2 == 0 then
      local lines, index = queue:peek(3, 1000)
      for _, one in ipairs(lines) do
        sent[one] = true
      end
      queue:remove(index)
    end
  end
end

function tests.a_worker_may_die_between_any_two_steps_and_no_line_is_lost()
  local dies_at, died = 0, true
  while died do
    dies_at = dies_at + 1
    local store, sent, made = check.store(), {}, {}
    store.dies_at = dies_at
    died = not pcall(work, store, sent, made)
    store.dies_at = nil
    local heir = spool.open(store, "a")
    local lines, index = heir:peek(1000, 100000)
    for _, line in ipairs(lines) do
      sent[line] = true
    end
    heir:remove(index)
    for _, line in ipairs(made) do
      assert(sent[line], line .. " is lost when killed at call " .. dies_at)
    end
    heir:close()
  end
  assert(dies_at > 30)
end

function tests.queues_of_dead_workers_are_found_and_those_of_live_ones_left_alone()
  local store, running = check.store(), { [2] = "s2", [3] = "s3" }
  local function alive(pid, start)
    return running[pid] == start
  end
  local slots = {}
  for pid = 1, 4 do
    slots[pid] = registry.join(store, { name = "n" .. pid, pid = pid, start = "s" .. pid })
  end
  check.equal(slots, { 1, 2, 3, 4 })
  local me = { name = "n2", pid = 2, start = "s2" }
  local live, gone, draining = registry.sort(store, me, alive)
  check.equal({ #live, #gone, #draining }, { 1, 2, 0 })
  registry.mark(store, 3, { name = "n3", pid = 3, start = "s3" }, "draining")
  live, gone, draining = registry.sort(store, me, alive)
  check.equal({ #live, #gone, #draining }, { 0, 2, 1 })
  registry.free(store, 1, "another")
  check.equal(#registry.entries(store), 4, "freed under a wrong name")
  check.equal({ #registry.entries(store, 2), #registry.entries(store, 1000) }, { 2, 4 })
  registry.free(store, 1, "n1")
  check.equal(registry.join(store, { name = "n5", pid = 5, start = "s5" }), 1)
end

function tests.active_requests_go_back_to_zero_and_names_are_bounded()
  local gauge = active.new(1000)
  local names = {}
  for i = 1, active.NAMESPACES_MAX + 10 do
    names[i] = gauge:enter("n" .. i, 0) or false
  end
  check.equal(names[#names], false)
  local counts, total = active.sum({ gauge:write(0), "n1 2" })
  check.equal({ counts.n1, total }, { 3, active.NAMESPACES_MAX + 2 })
  for _, name in ipairs(names) do
    gauge:leave(name or nil, 0)
  end
  check.equal(active.sum({ gauge:write(500) }).n1, 0, "reported as 0 once")
  check.equal(gauge:write(1001), "")
  check.equal({ gauge.size, gauge.total }, { 0, 0 })
end

function tests.spilled_lines_are_read_back_and_a_torn_one_is_reported()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  assert(spill.check(folder))
  local lines = { '{"id":"1"}', '{"id":"2"}' }
  local at = 0
  check.equal(spill.write(folder, 3, function() at = at + 1 return lines[at] end), 2)
  local file = io.open(folder .. "/spill-3.ndjson", "ab")
  file:write('{"id":')
  file:close()
  local source = spill.open(folder, 3)
  check.equal(spill.next_line(source), lines[1])
  spill.close(source)
  source = spill.open(folder, 3)
  check.equal(spill.next_line(source), lines[1], "read again after dying")
  check.equal(spill.next_line(source), lines[2])
  check.equal({ select(2, spill.next_line(source)) }, { "damaged" })
  check.equal({ select(2, spill.next_line(source)) }, { "end" })
  spill.close(source)
  spill.remove(source)
  check.equal(spill.open(folder, 3), nil)
  assert(os.execute("rmdir " .. folder) == 0)
end

return tests
