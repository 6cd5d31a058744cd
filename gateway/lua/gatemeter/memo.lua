-- Remembers what was made of words that are few and come again and again.
-- A function that makes something of a text goes in, one that gives the same comes out. Pure, and
-- for makers that are pure as well; it must never keep more than its bounds.
local memo = {}

-- Once there are so many texts, it begins anew.
local TEXTS_MAX = 1000
-- What is longer hardly comes again, and is never kept.
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
