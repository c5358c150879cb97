// Shows the description of the API, with forms to try it.

const main = document.querySelector("main");
SwaggerUIBundle({
  url: main.dataset.description,
  domNode: main,
  deepLinking: true,
  validatorUrl: null,
});
