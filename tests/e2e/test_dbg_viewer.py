from tests.e2e.test_viewer import *
from tests.e2e.test_viewer import PHONE, swipe
def test_dbg(show):
    page = show("pair", **PHONE)
    well=well_of(page); well.scroll_into_view_if_needed()
    box = well.bounding_box(); x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("""()=>{window.ev=[]; for(const t of ['pointerdown','pointerup','pointercancel','touchstart','touchend','touchcancel','click','gotpointercapture','lostpointercapture']) document.addEventListener(t,e=>window.ev.push(t+':'+(e.target.className||e.target.tagName)+':'+(e.pointerId??'')+':'+e.defaultPrevented),true)}""")
    swipe(page, [(x, y)], [(x + 40, y)])
    toggle = page.get_by_role("button", name="Drag sets window")
    toggle.tap(); page.wait_for_timeout(800); print(page.evaluate("ev.splice(0)"), toggle.get_attribute("aria-pressed"))
    toggle.tap(); page.wait_for_timeout(800); print(page.evaluate("ev.splice(0)"), toggle.get_attribute("aria-pressed"))
    print(toggle.bounding_box(), page.evaluate("scrollY"))
