local corun = require "corun"
describe("tasks", function()
  it("S1 await gives results", function()
    assert.equal(3, corun.await(corun.async(function(a, b) corun.sleep(0.001) return a + b end, 1, 2)))
  end)
  it("leaks on purpose", function()
    corun.spawn(corun.sleep, 100)
  end)
end)
