"""What visitors do in more than one test of the page."""

from pathlib import Path

import nibabel
import numpy as np
from playwright.sync_api import Page, expect

QUIET = """() => {
  const ends = performance.getEntriesByType("resource").map((entry) => entry.responseEnd);
  return performance.now() - Math.max(...ends) > 2000;
}"""  # the page has asked the server nothing for two seconds


def small_ct(folder: Path, slices: int = 40) -> Path:
    """A CT of 48 × 48 voxels a slice: a block of 60 HU in air. Its name must stay its visitor's."""
    hu = np.full((48, 48, slices), -1000, np.int16)
    hu[10:40, 10:40] = 60
    path = folder / "patient-4711.nii.gz"
    nibabel.Nifti1Image(hu, np.diag([-1.0, -1.0, 2.0, 1.0])).to_filename(path)
    return path


def open_file(page: Page, path: Path) -> None:
    """Choose a file of one's own and press Open."""
    page.locator("#upload button").first.click()
    page.locator("#upload input[type=file]").first.set_input_files(path)
    expect(page.locator("#upload").get_by_text(path.name)).to_be_visible()
    page.get_by_role("button", name="Open", exact=True).click()


def unfold(page: Page, panel: str) -> None:
    """Open the accordion of this selector."""
    page.locator(f"{panel} > button").click()


def type_number(page: Page, label: str, value: str) -> None:
    """Type into a slider's number; the slider has followed when this returns."""
    page.wait_for_function(QUIET)  # a page that is still being filled may set its sliders once more
    page.get_by_label(f"number input for {label}").fill(value)
    page.keyboard.press("Tab")
    expect(page.get_by_label(f"range slider for {label}")).to_have_value(value)
