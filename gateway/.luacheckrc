-- Settings of luacheck for the gateway: LuaJIT as nginx embeds it, 100 columns.
std = "ngx_lua"
max_line_length = 100
files["tests"] = { std = "luajit" }
-- Pure modules run under plain LuaJIT; the `ngx` table is not theirs.
for _, name in ipairs({ "active", "answer", "batch", "config", "delivery", "dns", "event", "http",
                        "lookup", "memo", "metrics", "names", "namespace", "peers", "registry",
                        "spill", "spool", "sse", "system", "usage", "values", "whole" }) do
  files["lua/gatemeter/" .. name .. ".lua"] = { std = "luajit" }
end
