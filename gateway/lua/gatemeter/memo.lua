-- Memoises a function of a few recurring texts. A function that makes something of a text goes in,
-- one that gives the same comes out. Pure, and for makers that are pure as well; it must never keep
-- more than its bounds.
local memo = {}

-- Maximum number of cached texts; then it starts over.
local TEXTS_MAX = 1000
-- Longer texts rarely recur and are never cached.
local TEXT_BYTES_MAX = 128

-- make(text) gives one value, or nil and why: that is not kept.
function memo.of(make)
  local made_of, n = {}, 0
  return function(text)
    local made, why = made_of[text]
    if made ~= nil then
      return made
    end
    made, why = make(text)
    if made ~= nil and #text <= TEXT_BYTES_MAX then
      if n == TEXTS_MAX then
        made_of, n = {}, 0
      end
      made_of[text], n = made, n + 1
    end
    return made, why
  end
end

return memo
