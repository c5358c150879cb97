// Cancels a job, after asking.

export function askBeforeCancelling(say) {
  const dialog = document.querySelector("#confirm-cancel");
  let address = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-cancel]");
    if (button) {
      address = button.dataset.cancel;
      dialog.returnValue = "";
      dialog.showModal();
    }
  });
  dialog?.addEventListener("close", () => {
    if (dialog.returnValue === "cancel") {
      cancel(address, say);
    }
  });
}

async function cancel(address, say) {
  try {
    const response = await fetch(address, { method: "POST" });
    const answer = await response.json();
    say(response.ok ? "" : answer.detail);
  } catch {
    say("The job could not be cancelled: the service does not answer. Try again.");
  }
}
