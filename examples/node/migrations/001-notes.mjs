// Adds the list of notes.
export function up(store) {
  store.notes = store.notes || [];
}
