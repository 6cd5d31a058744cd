-- Runs the tests of the pure modules under plain LuaJIT: luajit gateway/tests/run.lua
-- Each file returns a table of tests, named by sentences; a test fails by raising an error. Names
-- and failures go out, and 1 as the exit code if one failed. It must never stop at a failure.
local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. folder .. "/../lua/?.lua;" .. package.path

local seed = tonumber(arg[1]) or os.time()
print("seed " .. seed .. " (give it as the first word to repeat a run)")

local n_failed, n_tests = 0, 0
local FILES = { "reading", "answers", "shapes", "requests", "texts", "loose", "asking", "events",
                "queues", "settings", "sending", "names" }
for _, file in ipairs(FILES) do
  local names, tests = {}, dofile(folder .. "/" .. file .. ".lua")
  for name in pairs(tests) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    math.randomseed(seed)
    local ok, err = xpcall(tests[name], debug.traceback)
    n_tests = n_tests + 1
    n_failed = n_failed + (ok and 0 or 1)
    print((ok and "ok      " or "FAILED  ") .. file .. ": " .. name)
    if not ok then
      print(err)
    end
  end
end
print(("%d tests, %d failed"):format(n_tests, n_failed))
os.exit(n_failed == 0 and 0 or 1)
